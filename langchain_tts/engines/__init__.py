"""Engines that run models for policies and verifiers; imported only when used."""
