"""Load: the repository on disk becomes values, or problems with their places.

config            where to begin: the whole repository, and single Workers again
platform_file     platform.yaml, with the environment laid over it; egress is a section of it
customer_file     one customer's folder; settings, scripts and static_files are what it is made of
layers            which layer set which value; resolution tells it for `explain`
compiling         every customer, and only those that changed; compiled and compiled_cache keep them
repository        the values that all of it becomes

source            YAML with the place of every value; yaml_text is the way back
schema            what the files may hold; schema_worker and schema_words are its parts
checker           whether a document is right, in microseconds; validation says why it is not, excerpts shows the line
files             the file tree, with ignore for its patterns and javascript for what modules import
git               commits, and what changed since one
"""
