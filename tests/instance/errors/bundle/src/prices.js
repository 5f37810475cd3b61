// The prices of the shop's cart.
export function priceOf(item) {
  if (!item.sku) {
    throw new TypeError("this item has no sku: " + item.name);
  }
  return item.price * item.count;
}

export class Cart {
  constructor(items) {
    this.items = items;
  }

  total() {
    return this.items.map((item) => priceOf(item)).reduce((sum, price) => sum + price, 0);
  }
}
