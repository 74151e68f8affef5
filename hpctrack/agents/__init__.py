"""One helper process per node and job: takes what ranks say, writes one file per run."""
