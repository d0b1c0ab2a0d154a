"""Everything that knows Multi Model Server: how it is started, asked, watched and read back."""
