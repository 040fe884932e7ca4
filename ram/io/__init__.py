"""Files of strangers, read within bounds: pictures, tars, JSON and YAML."""
