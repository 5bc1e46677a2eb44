// The harness of pgx's program: it runs the steps that its argument names, in that order, and prints one line of
// JSON for each. What they are to give is said in tests/clients/matrix.py.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

type place struct {
	Host     string
	Port     int
	Database string
	User     string
	Password string
	CA       string
	Steps    []string
}

var (
	ctx  = context.Background()
	here place
)

// dsn returns the connection string, its values quoted as libpq wants them.
func dsn() string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	text := fmt.Sprintf("host=%s port=%d dbname=%s user=%s", here.Host, here.Port, here.Database, here.User)
	if here.Password != "" {
		text += " password='" + quote.Replace(here.Password) + "'"
	}
	if here.CA != "" {
		return text + " sslmode=verify-full sslrootcert=" + here.CA
	}
	return text + " sslmode=disable"
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// connected runs some work on a connection of its own.
func connected(work func(*pgx.Conn) any) any {
	conn, err := pgx.Connect(ctx, dsn())
	must(err)
	defer conn.Close(ctx)
	return work(conn)
}

// code returns the SQLSTATE of an error.
func code(err error) any {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code
	}
	if err != nil {
		return err.Error()
	}
	return nil
}

func show(line map[string]any) {
	text, err := json.Marshal(line)
	must(err)
	fmt.Println(string(text))
}

// restarted tells the test that the server may be restarted, and waits until it was.
func restarted() {
	show(map[string]any{"step": "ready"})
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	must(err)
}

// insist tries again until it works: the server may still be starting.
func insist(work func() (any, error)) any {
	deadline := time.Now().Add(60 * time.Second)
	for {
		result, err := work()
		if err == nil {
			return result
		}
		if time.Now().After(deadline) {
			panic(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func run(name string, step func() any) {
	defer func() {
		if trouble := recover(); trouble != nil {
			show(map[string]any{"step": name, "error": fmt.Sprint(trouble)})
		}
	}()
	show(map[string]any{"step": name, "result": step()})
}

func main() {
	must(json.Unmarshal([]byte(os.Args[1]), &here))
	show(map[string]any{"step": "version", "result": "4"})
	for _, name := range here.Steps {
		if step, found := steps[name]; found {
			run(name, step)
		}
	}
}
