// Runs the steps that the first argument names, in its order, and prints one line of JSON for each.
// What the steps are to give is said in tests/clients/matrix.py.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export const place = JSON.parse(process.argv[2]);
export const NAMES = "SELECT name FROM app.users ORDER BY id";
export const PID = "SELECT pg_backend_pid() AS pid";
export const SLEEP = "SELECT pg_sleep(60) FROM app.users";
export const END = "SELECT pg_terminate_backend($1::int, 20000) AS done";
export const ASLEEP = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";

export function address() {
  const ssl = place.ca ? { ca: readFileSync(place.ca, "utf8") } : false;
  const { host, port, database, user, password } = place;
  return { host, port, database, user, password, ssl };
}

export function version(name) {
  return JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Tell the test that the server may be restarted, and wait until it was.
export async function restarted() {
  print({ step: "ready" });
  await lines.next();
}

// Try again until it works: a pool may hand out what is broken, a server may still be starting.
export async function insist(work) {
  const deadline = Date.now() + 60000;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

// Return the SQLSTATE that some work fails with.
export async function code(work) {
  try {
    await work();
  } catch (error) {
    return error.code ?? error.cause?.code ?? String(error);
  }
  return null;
}

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export async function run(driver, steps) {
  print({ step: "version", result: version(driver) });
  for (const step of place.steps) {
    if (!steps[step]) continue;
    try {
      print({ step, result: await steps[step]() });
    } catch (error) {
      print({ step, error: `${error.stack ?? error} ${JSON.stringify(error)}` });
    }
  }
  process.exit(0);
}
