"""A contact centre's worth of customers and agents, over the public API alone: something to watch, and a soak test.

    scenario    the file that says who is there, who calls and what they say; ships with the demonstration tenant
    customers   who calls, writes, waits and gives up
    desk        an agent at its desktop, on the stream
    ledger      what the journal, the desks and the answers tell, held against each other: counts, waits, promises
    picture     the live picture and the summary in the terminal
    run         one run from the opening of the centre to its closing time
    command     the command line's options

It speaks through `src.client`, and knows nothing of the service's inside but the forms of the bodies that the API
accepts.
"""
