"""Set-of-Mark data: numbered marks on the visible parts of regions, with dialogues that are right by construction."""
