// postgres.js: its pool, implicit named statements, pipelining, cursors, COPY streams and cancel.

import { text } from "node:stream/consumers";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import postgres from "postgres";
import { ASLEEP, END, NAMES, PID, SLEEP, address, code, insist, restarted, run } from "./harness.js";

async function connected(work, options = {}) {
  const sql = postgres({ ...address(), max: 1, onnotice: () => {}, ...options });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

async function names(sql) {
  return (await sql.unsafe(NAMES)).map((row) => row.name);
}

async function replaced(sql, pid) {
  return insist(async () => ({ names: await names(sql), replaced: (await sql.unsafe(PID))[0].pid !== pid }));
}

await run("postgres", {
  connect: () => connected(names),
  crud: () =>
    connected(async (sql) => {
      const user = { email: "zoe@example.org", name: "Zoe" };
      const [{ id, name }] = await sql`INSERT INTO app.users ${sql(user)} RETURNING id, name`;
      return {
        inserted: name,
        updated: (await sql`UPDATE app.users SET ${sql({ name: "Zoë" })} WHERE id = ${id}`).count,
        untouched: (await sql`UPDATE app.users SET ${sql({ name: "Zoë" })} WHERE id = ${4}`).count,
        returned: (await sql`DELETE FROM app.users WHERE id = ${id} RETURNING name`).map((row) => row.name),
        again: (await sql`DELETE FROM app.users WHERE id = ${id}`).count,
        hidden: (await sql`DELETE FROM app.users WHERE id IN ${sql([4, 5])}`).count,
        names: await names(sql),
      };
    }),
  transaction: () =>
    connected(async (sql) => {
      const seen = {};
      await sql
        .begin(async (tx) => {
          await tx`DELETE FROM app.users WHERE id = ${1}`;
          seen.inside = await names(tx);
          seen.refused = await code(() =>
            tx.savepoint(async (inner) => {
              seen.refusal = await code(() => inner.unsafe("TRUNCATE app.users"));
              seen.failed = await code(() => names(inner));
              throw Object.assign(new Error("back"), { code: seen.refusal });
            }),
          );
          delete seen.refusal;
          seen.kept = await names(tx);
          throw new Error("undo");
        })
        .catch((error) => {
          if (error.message !== "undo") throw error;
        });
      return { ...seen, after: await names(sql) };
    }),
  batch: () =>
    connected(async (sql) => {
      const email = "batch@example.org";
      const answers = await sql.begin((tx) => [
        tx`INSERT INTO app.users (email, name) VALUES (${email}, 'Batch')`,
        tx`DELETE FROM app.users WHERE email = ${email}`,
        tx`DELETE FROM app.users WHERE email = ${email}`,
        tx`SELECT name FROM app.users ORDER BY id`,
      ]);
      return { counts: answers.slice(0, 3).map((one) => one.count), names: answers[3].map((row) => row.name) };
    }),
  cursor: () =>
    connected(async (sql) => {
      const found = [];
      for await (const rows of sql`SELECT name FROM app.users WHERE id > ${0} ORDER BY id`.cursor(2)) {
        found.push(rows.map((row) => row.name));
      }
      return found.flat();
    }),
  copy_out: () => connected(async (sql) => text(await sql`COPY app.users (id, name) TO STDOUT`.readable())),
  copy_in: () =>
    connected(async (sql) => {
      const query = sql`COPY app.users (email, name) FROM STDIN`;
      const sink = await query.writable();
      await pipeline(Readable.from(["copied1@example.org\tOne\ncop", "ied2@example.org\tTwo\n"]), sink);
      const copied = (await sql`SELECT FROM app.users WHERE email LIKE 'copied%'`).count;
      return { copied, deleted: (await sql`DELETE FROM app.users WHERE email LIKE 'copied%'`).count };
    }),
  cancel: () =>
    connected(async (sql) =>
      connected(async (other) => {
        const [{ pid }] = await sql.unsafe(PID);
        const query = sql.unsafe(SLEEP);
        const ended = code(() => query);
        await insist(async () => {
          if ((await other.unsafe(ASLEEP, [pid]))[0].n !== 1) throw new Error("not asleep");
        });
        query.cancel();
        return { code: await ended, names: await names(sql) };
      }),
    ),
  prepared: () =>
    connected(async (sql) =>
      connected(async (other) => {
        const seen = [];
        const star = () => sql`SELECT * FROM app.users WHERE id = ${1}`;
        const look = async () => {
          const email = "prepared@example.org";
          await sql`INSERT INTO app.users (email, name) VALUES (${email}, 'Prepared')`;
          const removed = await sql`DELETE FROM app.users WHERE email = ${email}`;
          seen.push(removed.count, (await sql`SELECT name FROM app.users WHERE id > ${0} ORDER BY id`).count);
        };
        await star();
        await look();
        await other.unsafe("ALTER TABLE app.users ADD COLUMN more text");
        await look();
        const changed = await code(star);
        await other.unsafe("ALTER TABLE app.users DROP COLUMN more");
        await look();
        return { seen, changed };
      }),
    ),
  reconnect: () =>
    connected(async (sql) =>
      connected(async (other) => {
        const [{ pid }] = await sql.unsafe(PID);
        await other.unsafe(END, [pid]);
        return replaced(sql, pid);
      }),
    ),
  restart: () =>
    connected(async (sql) => {
      const [{ pid }] = await sql.unsafe(PID);
      await restarted();
      return replaced(sql, pid);
    }),
});
