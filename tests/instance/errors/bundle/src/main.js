import { Cart } from "./prices.js";

const renderCart = (items) => {
  const cart = new Cart(items);
  return `Total: ${cart.total()}`;
};

globalThis.pay = function pay(items) {
  return renderCart(items);
};
