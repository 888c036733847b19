"""GitOps for Cloudflare Workers for Platforms: load, look, plan, show, apply.

cli        one module for each command; every one is cut from the functions of run
load       files become values
look       what is live, and all that knows Cloudflare's API
plan       the difference as a value, and what may be deleted
show       how plans, results, findings and problems look
apply      changes in a safe order
kinds      one file for each kind of resource: how it is wanted, seen and written
routing    the table that the dispatcher routes by; workers has the dispatcher itself, and all other JavaScript
dev        `reconciler dev`; local is the emulated account that it and --local work with
begin      `init` and `import`
github     what a workflow needs of GitHub
model      the values that everything is made of; errors what a user is told, bindings one class for each kind

docs/architecture.md has the floors that they stand on, and a change from the file to the API.
"""

# What pip calls it: the package index has another project under the name reconciler, which the command and this
# package bear.
DISTRIBUTION = "wfp-reconciler"
