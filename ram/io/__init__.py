"""Files of strangers, read within bounds: images, tars, JSON and YAML."""
