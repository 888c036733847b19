"""Begin: the files of a new platform, and the files that declare a platform that is there already.

scaffold          what `init` writes
importing         an import as it runs: read, stage, prove, put in place
importer          live scripts into files; factoring takes out what they have in common
"""
