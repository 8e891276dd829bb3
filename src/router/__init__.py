"""The routing engine: who takes which contact, and why. Pure: time, ids and randomness are arguments; no I/O.

`model` has the words, `transitions` the two state machines, `events` the journal's vocabulary, `commands` what can be
asked. `state` folds events, `index` answers who fits whom, `board` keeps both matched, `engine` obeys commands,
`explain` says why, `classify` turns tags and rules into requirements, `tagging` finds tags in a text.
"""
