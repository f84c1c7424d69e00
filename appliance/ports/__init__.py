"""What the core asks of the outside world, as Protocols. One module per kind of thing; adapters fulfil them."""
