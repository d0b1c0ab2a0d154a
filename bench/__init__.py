"""``make bench``: how fast, how exact and how small servemark is, beside the tools that people use instead.

``python -m bench --only pacing --rounds 1`` measures one part quickly. Each noun has its file: what is measured with
(`peers`, `tools`, `process`, `server`, `receiver`), what is measured (`cost`, `pacing`, `truth`, `memory`, `edges`,
`summarise`), and what is made of it (`bars`, `report`).
"""
