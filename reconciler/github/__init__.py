"""GitHub: comments on pull requests, the drift issue, what a workflow step may say, who owns what.

api        the few calls that are made, every page of them
actions    outputs, summaries and the event of a workflow step
comments   the plan as one comment per environment
reviewed   whether a fresh plan is the one that was reviewed
merges     from a commit to the review that let it in
issues     drift as one issue
summaries  a plan, what an apply did, drift and problems for the page of a run
owners     CODEOWNERS and `self_service:`
approvals  whether a pull request has the owners that it needs
templates  the files of .github/ that `init` writes
"""
