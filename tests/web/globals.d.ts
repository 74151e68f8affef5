/** BokehJS, which pages with charts load as a script; it ships no types for this use. */
declare const Bokeh: any;
