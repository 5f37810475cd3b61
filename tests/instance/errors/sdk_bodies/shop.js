// Mistakes of a small shop in the browser. `run` makes one of them; posthog-js sends it.
function priceOf(item) {
  if (!item.sku) throw new TypeError(`item ${item.id} has no sku`)
  return item.price
}

function totalOf(items) {
  return items.map((item) => priceOf(item)).reduce((sum, price) => sum + price, 0)
}

class Cart {
  pay(id) {
    try {
      return totalOf([{ id }])
    } catch (error) {
      throw new Error(`cart ${id} cannot be paid`, { cause: error })
    }
  }
}

const mistakes = {
  captured: (id) => caught(() => totalOf([{ id }])),
  cause: (id) => caught(() => new Cart().pay(id)),
  uncaught: function onClick(id) { totalOf([{ id }]) },
  rejected: (id) => { Promise.resolve().then(function load() { return totalOf([{ id }]) }) },
  text: (id) => { Promise.reject(`order ${id} was refused`) },
  parse: (id) => caught(() => JSON.parse(`{"order": ${id}`)),
  dom: () => caught(() => document.querySelector('##')),
}

function caught(mistake) {
  try {
    mistake()
  } catch (error) {
    window.posthog.captureException(error)
  }
}

window.run = (name, id) => setTimeout(() => mistakes[name](id), 0)
