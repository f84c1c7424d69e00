"""Who may order what, until when: opens rosters, authorities, orders and adjudications, and judges time.

Rules of this package:
    1. Everything is pure: bytes, values and instants in; a typed statement or a
       :class:`~appliance.errors.TrustError` out.
    2. Trust is opened, not asked about: there is no ``is_valid()``.
    3. Every refusal names a rule from :mod:`appliance.authority.rules`, and nothing about a person.
    4. What is in doubt is refused, except an order to stop.
"""
