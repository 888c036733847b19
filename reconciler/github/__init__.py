"""GitHub: comments on pull requests, the drift issue, what a workflow step may say, who owns what.

api       the few calls that are made, every page of them
comments  the plan as one comment per environment
reviewed  whether a fresh plan is the one that was reviewed
issues    drift as one issue
actions   outputs, summaries and logs of a workflow step
owners    CODEOWNERS and `self_service:`
"""
