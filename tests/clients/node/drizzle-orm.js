// Drizzle over node-postgres: its query builder, transactions, joins and prepared queries.

import { asc, eq, gt, sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { bigint, pgSchema, text } from "drizzle-orm/pg-core";
import pg from "pg";
import { END, PID, address, code, insist, restarted, run } from "./harness.js";

const app = pgSchema("app");
const users = app.table("users", {
  id: bigint({ mode: "number" }).primaryKey().generatedByDefaultAsIdentity(),
  email: text().notNull(),
  name: text(),
});
const orders = app.table("orders", {
  id: bigint({ mode: "number" }).primaryKey().generatedByDefaultAsIdentity(),
  userId: bigint("user_id", { mode: "number" }),
});

async function connected(work) {
  const pool = new pg.Pool({ ...address(), max: 1 });
  pool.on("error", () => {});
  try {
    return await work(drizzle({ client: pool }));
  } finally {
    await pool.end();
  }
}

async function names(db) {
  const rows = await db.select({ name: users.name }).from(users).orderBy(asc(users.id));
  return rows.map((row) => row.name);
}

async function pid(db) {
  return (await db.execute(PID)).rows[0].pid;
}

async function replaced(db, before) {
  return insist(async () => ({ names: await names(db), replaced: (await pid(db)) !== before }));
}

await run("drizzle-orm", {
  connect: () => connected(names),
  crud: () =>
    connected(async (db) => {
      const [{ id, name }] = await db.insert(users).values({ email: "zoe@example.org", name: "Zoe" }).returning();
      const update = async (number) =>
        (await db.update(users).set({ name: "Zoë" }).where(eq(users.id, number))).rowCount;
      const remove = (number) => db.delete(users).where(eq(users.id, number));
      return {
        inserted: name,
        updated: await update(id),
        untouched: await update(4),
        returned: (await remove(id).returning({ name: users.name })).map((row) => row.name),
        again: (await remove(id)).rowCount,
        hidden: (await remove(4)).rowCount,
        names: await names(db),
      };
    }),
  transaction: () =>
    connected(async (db) => {
      const seen = {};
      await db
        .transaction(async (tx) => {
          await tx.delete(users).where(eq(users.id, 1));
          seen.inside = await names(tx);
          await tx
            .transaction(async (inner) => {
              seen.refused = await code(() => inner.execute("TRUNCATE app.users"));
              seen.failed = await code(() => names(inner));
              throw new Error("back");
            })
            .catch((error) => {
              if (error.message !== "back") throw error;
            });
          seen.kept = await names(tx);
          throw new Error("undo");
        })
        .catch((error) => {
          if (error.message !== "undo") throw error;
        });
      return { ...seen, after: await names(db) };
    }),
  prepared: () =>
    connected(async (db) =>
      connected(async (other) => {
        const all = db.select().from(users).where(gt(users.id, sql.placeholder("id"))).prepare("all");
        const remove = db.delete(users).where(eq(users.email, sql.placeholder("email"))).prepare("remove");
        const seen = [];
        const look = async () => {
          await db.insert(users).values({ email: "prepared@example.org" });
          const removed = await remove.execute({ email: "prepared@example.org" });
          seen.push(removed.rowCount, (await all.execute({ id: 0 })).length);
        };
        await look();
        await other.execute("ALTER TABLE app.users ADD COLUMN more text");
        await look();
        const changed = await code(() => all.execute({ id: 0 }));
        await other.execute("ALTER TABLE app.users DROP COLUMN more");
        await look();
        return { seen, changed };
      }),
    ),
  relations: () =>
    connected(async (db) => {
      const join = db.select().from(users).leftJoin(orders, eq(orders.userId, users.id)).orderBy(users.id, orders.id);
      const found = new Map();
      for (const row of await join) {
        const mine = found.get(row.users.name) ?? [];
        found.set(row.users.name, row.orders ? [...mine, row.orders.id] : mine);
      }
      return [...found];
    }),
  reconnect: () =>
    connected(async (db) =>
      connected(async (other) => {
        const before = await pid(db);
        await other.$client.query(END, [before]);
        return replaced(db, before);
      }),
    ),
  restart: () =>
    connected(async (db) => {
      const before = await pid(db);
      await restarted();
      return replaced(db, before);
    }),
});
