"""The reproduction of the papers, on small records written by hand."""
