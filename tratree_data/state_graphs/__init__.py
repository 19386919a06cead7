"""Steps → states, transitions and step credits."""
