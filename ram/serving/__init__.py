"""The tagger behind HTTP: `server` puts the parts together, `process` runs it, `page` is what a person sees."""
