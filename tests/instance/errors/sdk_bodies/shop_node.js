// Mistakes of a small shop on Node.js. Each is sent by posthog-node, with its name as a property.
const { PostHog } = require('posthog-node')
const [host, label] = process.argv.slice(2)
const client = new PostHog('phc_recorded', { host, disableCompression: true, flushAt: 1, enableExceptionAutocapture: true })

function priceOf(item) {
  if (!item.sku) throw new TypeError(`item ${item.id} has no sku`)
  return item.price
}

function totalOf(items) {
  return items.map((item) => priceOf(item)).reduce((sum, price) => sum + price, 0)
}

class Cart {
  async pay(id) {
    await null
    try {
      return totalOf([{ id }])
    } catch (error) {
      throw new Error(`cart ${id} cannot be paid`, { cause: error })
    }
  }
}

async function caught(name, mistake) {
  try {
    await mistake()
  } catch (error) {
    client.captureException(error, 'visitor', { recorded: `${name}${label}` })
  }
}

async function main() {
  await caught('captured', () => totalOf([{ id: process.pid }]))
  await caught('cause', () => new Cart().pay(process.pid))
  await caught('parse', () => JSON.parse('{"order": 1'))
  await caught('library', () => require('fs').readFileSync('/nowhere/at/all'))
  await caught('text', () => { throw `order ${process.pid} was refused` })
  Promise.resolve().then(function load() { return totalOf([{ id: process.pid }]) }) // not handled by anyone
  setTimeout(() => client.shutdown(), 500)
}

main()
