"""The embedded platform: an emulated Cloudflare account, met only over HTTP.

Law: nothing here imports the planner, the API client or any other part of the reconciler but `errors` and
`bindings`. Code that both sides shared would agree with itself.

api               the WSGI app; each api_… module has the endpoints of one area, and its rows of the table of them
call              what an endpoint gets; envelope is what it answers in, faults and switches what it can be told to do
upload            an upload as it is read; metadata, multipart and binding_kinds are its parts
script_changes    what every change of a script has in common; script_replies shows one

store             the account; each store_… module has one area, records the values, database the file
runtime           the data plane on workerd; each runtime_… module is one part of it, watchers tells it of changes
runtime_check     whether a script starts, apart from any account
server            WSGI on loopback
pytest            fixtures for a team's own tests
"""
