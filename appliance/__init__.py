"""Lamppost: a live-facial-recognition edge appliance that can be inspected and believed.

The package is a hexagon: a pure core, thin adapters, and composition roots. ``pyproject.toml`` holds the layers and
import-linter enforces them.
"""
