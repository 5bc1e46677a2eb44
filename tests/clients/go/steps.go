// What pgx does at each step: its statement cache, batches, CopyFrom, contexts that cancel, a pool that reconnects.
package main

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const (
	list   = "SELECT name FROM app.users ORDER BY id"
	pid    = "SELECT pg_backend_pid()"
	add    = "INSERT INTO app.users (email, name) VALUES ($1, $2)"
	remove = "DELETE FROM app.users WHERE email = $1"
)

type object = map[string]any

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func names(on querier) ([]string, error) {
	rows, err := on.Query(ctx, list)
	if err != nil {
		return nil, err
	}
	return read(rows)
}

func read(rows pgx.Rows) ([]string, error) {
	defer rows.Close()
	found := []string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		found = append(found, name)
	}
	return found, rows.Err()
}

func listed(on querier) []string {
	found, err := names(on)
	must(err)
	return found
}

func count(conn *pgx.Conn, sql string, values ...any) int64 {
	tag, err := conn.Exec(ctx, sql, values...)
	must(err)
	return tag.RowsAffected()
}

var steps = map[string]func() any{
	"connect": func() any { return connected(func(conn *pgx.Conn) any { return listed(conn) }) },
	"crud":    func() any { return connected(crud) },

	"transaction": func() any { return connected(transaction) },
	"batch":       func() any { return connected(batch) },
	"cursor":      func() any { return connected(cursor) },
	"copy_out":    func() any { return connected(copyOut) },
	"copy_in":     func() any { return connected(copyIn) },
	"cancel":      func() any { return connected(cancel) },
	"prepared":    func() any { return connected(prepared) },
	"reconnect":   func() any { return connected(reconnect) },
	"restart":     func() any { return pooled(func(int32) { restarted() }) },
}

func crud(conn *pgx.Conn) any {
	var id int64
	var name string
	row := conn.QueryRow(ctx, add+" RETURNING id, name", "zoe@example.org", "Zoe")
	must(row.Scan(&id, &name))
	update := "UPDATE app.users SET name = $2 WHERE id = $1"
	byID := "DELETE FROM app.users WHERE id = $1"
	updated, untouched := count(conn, update, id, "Zoë"), count(conn, update, 4, "Zoë")
	rows, err := conn.Query(ctx, byID+" RETURNING name", id)
	must(err)
	returned, err := read(rows)
	must(err)
	return object{
		"inserted": name, "updated": updated, "untouched": untouched, "returned": returned,
		"again": count(conn, byID, id), "hidden": count(conn, byID, 4), "names": listed(conn),
	}
}

func transaction(conn *pgx.Conn) any {
	tx, err := conn.Begin(ctx)
	must(err)
	_, err = tx.Exec(ctx, "DELETE FROM app.users WHERE id = $1", 1)
	must(err)
	inside := listed(tx)
	savepoint, err := tx.Begin(ctx)
	must(err)
	_, refusal := savepoint.Exec(ctx, "TRUNCATE app.users")
	_, failure := names(savepoint)
	must(savepoint.Rollback(ctx))
	kept := listed(tx)
	must(tx.Rollback(ctx))
	return object{
		"inside": inside, "refused": code(refusal), "failed": code(failure), "kept": kept, "after": listed(conn),
	}
}

func batch(conn *pgx.Conn) any {
	all := &pgx.Batch{}
	all.Queue(add, "batch@example.org", "Batch")
	all.Queue(remove, "batch@example.org")
	all.Queue(remove, "batch@example.org")
	all.Queue(list)
	answers := conn.SendBatch(ctx, all)
	counts := []int64{}
	for range "abc" {
		tag, err := answers.Exec()
		must(err)
		counts = append(counts, tag.RowsAffected())
	}
	rows, err := answers.Query()
	must(err)
	found, err := read(rows)
	must(err)
	must(answers.Close())
	return object{"counts": counts, "names": found}
}

func cursor(conn *pgx.Conn) any {
	tx, err := conn.Begin(ctx)
	must(err)
	defer tx.Rollback(ctx)
	_, err = tx.Exec(ctx, "DECLARE few CURSOR FOR SELECT name FROM app.users WHERE id > $1 ORDER BY id", 0)
	must(err)
	found := []string{}
	for {
		rows, err := tx.Query(ctx, "FETCH 2 FROM few")
		must(err)
		part, err := read(rows)
		must(err)
		if len(part) == 0 {
			return found
		}
		found = append(found, part...)
	}
}

func copyOut(conn *pgx.Conn) any {
	var out bytes.Buffer
	_, err := conn.PgConn().CopyTo(ctx, &out, "COPY app.users (id, name) TO STDOUT")
	must(err)
	return out.String()
}

func copyIn(conn *pgx.Conn) any {
	rows := [][]any{{"copied1@example.org", "One"}, {"copied2@example.org", "Two"}}
	columns := []string{"email", "name"}
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"app", "users"}, columns, pgx.CopyFromRows(rows))
	must(err)
	return object{"copied": copied, "deleted": count(conn, "DELETE FROM app.users WHERE email LIKE 'copied%'")}
}

// A context that ends makes pgx close its connection; what cancels a statement alone is CancelRequest.
func cancel(conn *pgx.Conn) any {
	return connected(func(other *pgx.Conn) any {
		ended := make(chan error)
		go func() {
			_, err := conn.Exec(ctx, "SELECT pg_sleep(60) FROM app.users")
			ended <- err
		}()
		asleep := "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
		insist(func() (any, error) {
			if count(other, asleep, conn.PgConn().PID()) == 0 {
				return nil, errors.New("not asleep")
			}
			return nil, nil
		})
		must(conn.PgConn().CancelRequest(ctx))
		return object{"code": code(<-ended), "names": listed(conn)}
	})
}

func prepared(conn *pgx.Conn) any {
	return connected(func(other *pgx.Conn) any {
		seen := []int{}
		look := func() {
			count(conn, add, "prepared@example.org", "Prepared")
			seen = append(seen, int(count(conn, remove, "prepared@example.org")), len(listed(conn)))
		}
		star := func() error {
			_, err := conn.Exec(ctx, "SELECT * FROM app.users WHERE id = $1", 1)
			return err
		}
		must(star())
		look()
		count(other, "ALTER TABLE app.users ADD COLUMN more text")
		look()
		changed := code(star())
		count(other, "ALTER TABLE app.users DROP COLUMN more")
		look()
		return object{"seen": seen, "changed": changed}
	})
}

func reconnect(other *pgx.Conn) any {
	return pooled(func(id int32) { count(other, "SELECT pg_terminate_backend($1, 20000)", id) })
}

// pooled has a pool of one connection lose it, and tells what the pool gives afterwards.
func pooled(lose func(id int32)) any {
	address := strings.Join([]string{dsn(), "pool_max_conns=1"}, " ")
	pool, err := pgxpool.Connect(ctx, address)
	must(err)
	defer pool.Close()
	var before int32
	must(pool.QueryRow(ctx, pid).Scan(&before))
	lose(before)
	return insist(func() (any, error) {
		found, err := names(pool)
		if err != nil {
			return nil, err
		}
		var now int32
		err = pool.QueryRow(ctx, pid).Scan(&now)
		return object{"replaced": now != before, "names": found}, err
	})
}
