// Otlp-receiver is the OTLP receiver of the OpenTelemetry Collector, alone: what it
// takes it writes to the standard output, a line of OTLP JSON for each batch. Tests
// use it as the other side: other people's code decides whether our spans and log records are OTLP.
// It is a module of its own, so that nothing of it is in our programs.
//
//	otlp-receiver HOST:PORT
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	err := confmap.NewFromStringMap(map[string]any{
		"protocols": map[string]any{"http": map[string]any{"endpoint": address}},
	}).Unmarshal(config)
	if err != nil {
		return err
	}
	next, err := consumer.NewTraces(func(_ context.Context, batch ptrace.Traces) error {
		line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(batch)
		if err == nil {
			_, err = fmt.Println(string(line))
		}
		return err
	})
	if err != nil {
		return err
	}
	logs, err := consumer.NewLogs(func(_ context.Context, batch plog.Logs) error {
		line, err := (&plog.JSONMarshaler{}).MarshalLogs(batch)
		if err == nil {
			_, err = fmt.Println(string(line))
		}
		return err
	})
	if err != nil {
		return err
	}
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	if _, err := factory.CreateTraces(ctx, settings, config, next); err != nil {
		return err
	}
	// It is the same receiver: one server takes both.
	r, err := factory.CreateLogs(ctx, settings, config, logs)
	if err != nil {
		return err
	}
	if err := r.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	<-ctx.Done()
	return r.Shutdown(context.WithoutCancel(ctx))
}
