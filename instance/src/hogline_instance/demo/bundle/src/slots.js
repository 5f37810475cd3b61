// The shop's van, and how many items it still has room for.
const SLOTS = [
  { day: "Tuesday", hour: 9, room: 0 },
  { day: "Thursday", hour: 14, room: 2 },
];

export function earliestSlot(items) {
  const slot = SLOTS.find(({ room }) => room >= items);
  return describe(slot);
}

function describe(slot) {
  // This holds a bug that the demo shows: no slot has room for three items.
  return `${slot.day}, from ${slot.hour}:00`;
}
