export const prices = { hammock: 49, "doomsday device": 1999, "lair (per month)": 12500.5 };
