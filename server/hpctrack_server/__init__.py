"""The dashboard of hpctrack: server-rendered pages, with Bokeh where the plots are."""
