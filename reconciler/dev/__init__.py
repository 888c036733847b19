"""`reconciler dev`: the whole platform on this machine, kept in step with the files, with a dashboard.

loop        starts and ends everything, and turns saves into rounds
rounds      one reconciliation: load, look, plan, apply, and what became of it
journal     what happened, for everyone who watches
log, urls   how requests and addresses are printed
dashboard   the pages; gate says who may see them, writing turns their forms into files
pytest_plugin  the same platform for a team's own tests, beside reconciler.local.pytest
"""
