// node-postgres: client, pool, cursor, COPY streams, named statements.

import pg from "pg";
import { from as copyFrom, to as copyTo } from "pg-copy-streams";
import Cursor from "pg-cursor";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import { ASLEEP, END, NAMES, PID, SLEEP, address, code, insist, restarted, run } from "./harness.js";

async function connected(work, options = {}) {
  const client = new pg.Client({ ...address(), ...options });
  client.on("error", () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

async function names(client) {
  return (await client.query(NAMES)).rows.map((row) => row.name);
}

async function pooled(work) {
  const pool = new pg.Pool({ ...address(), max: 1 });
  pool.on("error", () => {});
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

async function replaced(pool, pid) {
  return insist(async () => ({ names: await names(pool), replaced: (await pool.query(PID)).rows[0].pid !== pid }));
}

await run("pg", {
  connect: () => connected(names),
  crud: () =>
    connected(async (client) => {
      const insert = "INSERT INTO app.users (email, name) VALUES ($1, $2) RETURNING id, name";
      const { id, name } = (await client.query(insert, ["zoe@example.org", "Zoe"])).rows[0];
      const update = "UPDATE app.users SET name = $2 WHERE id = $1";
      const remove = "DELETE FROM app.users WHERE id = $1";
      return {
        inserted: name,
        updated: (await client.query(update, [id, "Zoë"])).rowCount,
        untouched: (await client.query(update, [4, "Zoë"])).rowCount,
        returned: (await client.query(`${remove} RETURNING name`, [id])).rows.map((row) => row.name),
        again: (await client.query(remove, [id])).rowCount,
        hidden: (await client.query(remove, [4])).rowCount,
        names: await names(client),
      };
    }),
  transaction: () =>
    connected(async (client) => {
      await client.query("BEGIN");
      await client.query("DELETE FROM app.users WHERE id = $1", [1]);
      const inside = await names(client);
      await client.query("SAVEPOINT one");
      const refused = await code(() => client.query("TRUNCATE app.users"));
      const failed = await code(() => names(client));
      await client.query("ROLLBACK TO one");
      const kept = await names(client);
      await client.query("ROLLBACK");
      return { inside, refused, failed, kept, after: await names(client) };
    }),
  // In pipeline mode the client sends without waiting for answers.
  batch: () =>
    connected(async (client) => {
      const answers = await Promise.all([
        client.query("INSERT INTO app.users (email, name) VALUES ($1, 'Batch')", ["batch@example.org"]),
        client.query("DELETE FROM app.users WHERE email = $1", ["batch@example.org"]),
        client.query("DELETE FROM app.users WHERE email = $1", ["batch@example.org"]),
        client.query(NAMES),
      ]);
      return { counts: answers.slice(0, 3).map((one) => one.rowCount), names: answers[3].rows.map((row) => row.name) };
    }, { pipeline: true }),
  cursor: () =>
    connected(async (client) => {
      const cursor = client.query(new Cursor("SELECT name FROM app.users WHERE id > $1 ORDER BY id", [0]));
      const found = [];
      for (let rows = await cursor.read(2); rows.length > 0; rows = await cursor.read(2)) {
        found.push(rows.map((row) => row.name));
      }
      await cursor.close();
      return found.flat();
    }),
  copy_out: () => connected((client) => text(client.query(copyTo("COPY app.users (id, name) TO STDOUT")))),
  copy_in: () =>
    connected(async (client) => {
      const sink = client.query(copyFrom("COPY app.users (email, name) FROM STDIN"));
      await pipeline(Readable.from(["copied1@example.org\tOne\ncop", "ied2@example.org\tTwo\n"]), sink);
      const removed = await client.query("DELETE FROM app.users WHERE email LIKE 'copied%'");
      return { copied: sink.rowCount, deleted: removed.rowCount };
    }),
  cancel: () =>
    connected(async (client) =>
      connected(async (other) => {
        const query = new pg.Query(SLEEP);
        const ended = new Promise((resolve) => query.on("error", (error) => resolve(error.code)));
        client.query(query);
        await insist(async () => {
          if ((await other.query(ASLEEP, [client.processID])).rows[0].n !== 1) throw new Error("not asleep");
        });
        // node-postgres never sends the request where it would have to encrypt it first.
        new pg.Client({ ...address(), ssl: false }).cancel(client, query);
        return { code: await ended, names: await names(client) };
      }),
    ),
  prepared: () =>
    connected(async (client) =>
      connected(async (other) => {
        const all = { name: "all", text: "SELECT name FROM app.users WHERE id > $1 ORDER BY id", values: [0] };
        const star = { name: "star", text: "SELECT * FROM app.users WHERE id = $1", values: [1] };
        const add = { name: "add", text: "INSERT INTO app.users (email, name) VALUES ($1, 'Prepared')" };
        const remove = { name: "remove", text: "DELETE FROM app.users WHERE email = $1" };
        const seen = [];
        const look = async () => {
          await client.query({ ...add, values: ["prepared@example.org"] });
          const removed = await client.query({ ...remove, values: ["prepared@example.org"] });
          seen.push(removed.rowCount, (await client.query(all)).rowCount);
        };
        await client.query(star);
        await look();
        await other.query("ALTER TABLE app.users ADD COLUMN more text");
        await look();
        const changed = await code(() => client.query(star));
        await other.query("ALTER TABLE app.users DROP COLUMN more");
        await look();
        return { seen, changed };
      }),
    ),
  reconnect: () =>
    pooled(async (pool) =>
      connected(async (other) => {
        const { pid } = (await pool.query(PID)).rows[0];
        await other.query(END, [pid]);
        return replaced(pool, pid);
      }),
    ),
  restart: () =>
    pooled(async (pool) => {
      const { pid } = (await pool.query(PID)).rows[0];
      await restarted();
      return replaced(pool, pid);
    }),
});
