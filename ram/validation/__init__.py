"""Checks of the tables: rules made from the catalog's schemas and from bounds, run by Great Expectations."""
