"""`hpctrack top`: a run, or all that are going on, on a terminal; the only user of Textual."""
