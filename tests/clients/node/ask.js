// One Node.js client asks a list of queries; what it is to do comes as JSON on stdin, rows leave as JSON text values.
const job = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const door = {
  host: 'localhost', port: job.port, user: 'x', database: 'production', password: job.key,
  ssl: { ca: job.ca, servername: 'localhost' },
}
const text = { getTypeParser: () => (value) => value }

async function pg() {
  const { Client } = require('pg')
  const Cursor = require('pg-cursor')
  const client = new Client({ ...door, types: text })
  await client.connect()
  const found = {}
  for (const [name, sql] of Object.entries(job.queries)) {
    const simple = await client.query({ text: sql, rowMode: 'array' })
    const prepared = await client.query({ name: 'q_' + name, text: sql, rowMode: 'array' })
    if (JSON.stringify(simple.rows) !== JSON.stringify(prepared.rows)) throw new Error('prepared differs: ' + name)
    const cursor = client.query(new Cursor(sql, [], { rowMode: 'array', types: text }))
    const rows = []
    for (let part = await cursor.read(7); part.length; part = await cursor.read(7)) rows.push(...part)
    await cursor.close()
    if (JSON.stringify(simple.rows) !== JSON.stringify(rows)) throw new Error('cursor differs: ' + name)
    found[name] = simple.rows
  }
  const one = await client.query({ text: 'SELECT $1::int4 + 1 AS n', values: [41], rowMode: 'array' })
  if (one.rows[0][0] !== '42') throw new Error('parameter')
  await client.end()
  return found
}

async function postgres() {
  const sql = require('postgres')({ ...door, username: door.user, max: 2, onnotice: () => {} })
  const found = {}
  for (const [name, query] of Object.entries(job.queries)) {
    const rows = await sql.unsafe(query, [], { prepare: true }).raw()
    found[name] = rows.map((row) => row.map((value) => (value === null ? null : value.toString())))
  }
  const [{ n }] = await sql`SELECT ${41}::int4 + 1 AS n`
  if (n !== 42) throw new Error('parameter')
  let streamed = 0
  await sql`SELECT n FROM sales.numbers ORDER BY n LIMIT 500`.cursor(64, (rows) => { streamed += rows.length })
  if (streamed !== 500) throw new Error('cursor')
  await sql.end()
  return found
}

;(job.client === 'pg' ? pg() : postgres()).then(
  (found) => process.stdout.write(JSON.stringify(found)),
  (error) => { process.stderr.write(String(error.stack || error)); process.exit(1) },
)
