"""Figures that Bokeh builds once; the browser clones and fills them."""
