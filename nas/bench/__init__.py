"""Strategies compared on tables of networks that have all been trained, in virtual time."""
