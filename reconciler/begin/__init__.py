"""Begin: the files of a new platform, and the files that declare a platform that is there already."""
