"""The commands of `ram`, a module each: what they ask of the user, and what they print."""
