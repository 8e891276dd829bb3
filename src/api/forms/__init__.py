"""What the service says, as typed values: answers of REST, events and their data, frames of the sockets.

    answers   contacts, assignments, customers, messages
    events    the envelope of an event, and the data of each type
    frames    what the service sends over `/v1/stream` and to visitors

`openapi.yaml` and `asyncapi.yaml` are drawn from these, and the Python client reads into them. A field that a later
release adds is passed over; one that an earlier release does not send has the default that stands here.
"""
