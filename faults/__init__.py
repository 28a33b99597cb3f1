"""The fault suite: a service under attack, a catalogue of attacks, what must hold all the same."""
