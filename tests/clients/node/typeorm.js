// TypeORM: repositories, query builder, nested transactions, relations.

import "reflect-metadata";
import { DataSource, EntitySchema } from "typeorm";
import { END, PID, address, code, insist, restarted, run } from "./harness.js";

const id = { type: "bigint", primary: true, generated: "identity" };
const User = new EntitySchema({
  name: "User",
  tableName: "users",
  schema: "app",
  columns: { id, email: { type: "text" }, name: { type: "text", nullable: true } },
  relations: { orders: { type: "one-to-many", target: "Order", inverseSide: "user" } },
});
const Order = new EntitySchema({
  name: "Order",
  tableName: "orders",
  schema: "app",
  columns: { id },
  relations: { user: { type: "many-to-one", target: "User", joinColumn: { name: "user_id" }, inverseSide: "orders" } },
});

async function connected(work) {
  const { user, ...rest } = address();
  const source = new DataSource({
    type: "postgres",
    username: user,
    ...rest,
    entities: [User, Order],
    poolSize: 1,
    logging: false,
    poolErrorHandler: () => {},
  });
  await source.initialize();
  try {
    return await work(source);
  } finally {
    await source.destroy();
  }
}

async function names(source) {
  const manager = source.manager ?? source;
  return (await manager.find(User, { order: { id: "ASC" } })).map((user) => user.name);
}

async function replaced(source, pid) {
  return insist(async () => ({ names: await names(source), replaced: (await source.query(PID))[0].pid !== pid }));
}

await run("typeorm", {
  connect: () => connected(names),
  crud: () =>
    connected(async (source) => {
      const users = source.getRepository(User);
      const zoe = await users.save(users.create({ email: "zoe@example.org", name: "Zoe" }));
      const update = async (number) => (await users.update(number, { name: "Zoë" })).affected;
      const remove = users.createQueryBuilder().delete().where("id = :id", { id: zoe.id }).returning(["name"]);
      return {
        inserted: (await users.findOneByOrFail({ id: zoe.id })).name,
        updated: await update(zoe.id),
        untouched: await update(4),
        returned: (await remove.execute()).raw.map((row) => row.name),
        again: (await users.delete(zoe.id)).affected,
        hidden: (await users.delete(4)).affected,
        names: await names(source),
      };
    }),
  transaction: () =>
    connected(async (source) => {
      const seen = {};
      const runner = source.createQueryRunner();
      await runner.startTransaction();
      const user = await runner.manager.findOneByOrFail(User, { id: 1 });
      await runner.manager.remove(User, user);
      seen.inside = await names(runner);
      await runner.startTransaction();
      seen.refused = await code(() => runner.query("TRUNCATE app.users"));
      seen.failed = await code(() => names(runner));
      await runner.rollbackTransaction();
      seen.kept = await names(runner);
      await runner.rollbackTransaction();
      await runner.release();
      return { ...seen, after: await names(source) };
    }),
  relations: () =>
    connected(async (source) => {
      const found = await source.manager.find(User, { relations: { orders: true }, order: { id: "ASC" } });
      return found.map((user) => [user.name, user.orders.map((order) => Number(order.id))]);
    }),
  reconnect: () =>
    connected(async (source) =>
      connected(async (other) => {
        const [{ pid }] = await source.query(PID);
        await other.query(END, [pid]);
        return replaced(source, pid);
      }),
    ),
  restart: () =>
    connected(async (source) => {
      const [{ pid }] = await source.query(PID);
      await restarted();
      return replaced(source, pid);
    }),
});
