"""The fault suite: a service under attack, a catalogue of attacks, invariants that must hold."""
