// SPDX-License-Identifier: Apache-2.0
// Command vaultd runs the real HashiCorp Vault core (v1.13.2, MPL-2.0) with the few engines that the tests use.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	jwt "github.com/hashicorp/vault-plugin-auth-jwt"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	auditfile "github.com/hashicorp/vault/builtin/audit/file"
	auditsocket "github.com/hashicorp/vault/builtin/audit/socket"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/credential/userpass"
	"github.com/hashicorp/vault/builtin/logical/database"
	"github.com/hashicorp/vault/builtin/logical/pki"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/builtin/plugin"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/physical/postgresql"
	pgplugin "github.com/hashicorp/vault/plugins/database/postgresql"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

var (
	secrets = map[string]logical.Factory{"kv": kv.Factory, "transit": transit.Factory, "pki": pki.Factory, "database": database.Factory}
	creds   = map[string]logical.Factory{"approle": plain400(approle.Factory), "cert": cert.Factory, "jwt": jwt.Factory, "userpass": plain400(userpass.Factory)}
	dbs     = map[string]func() (interface{}, error){"postgresql-database-plugin": pgplugin.New}
)

// Vault 1.13.0 to 1.13.2 answers wrong credentials of approle and userpass with 500 (1.14.2: 400 by its source):
// its core drops the engine's error response when the engine also returns ErrInvalidCredentials. Return the response alone.
type plain struct{ logical.Backend }

func (b plain) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	resp, err := b.Backend.HandleRequest(ctx, req)
	if err == logical.ErrInvalidCredentials && resp != nil && resp.IsError() {
		err = nil
	}
	return resp, err
}

func plain400(f logical.Factory) logical.Factory {
	return func(ctx context.Context, c *logical.BackendConfig) (logical.Backend, error) {
		b, err := f(ctx, c)
		return plain{b}, err
	}
}

type registry struct{}

func (registry) Get(name string, t consts.PluginType) (func() (interface{}, error), bool) {
	var f logical.Factory
	switch t {
	case consts.PluginTypeSecrets:
		f = secrets[name]
	case consts.PluginTypeCredential:
		f = creds[name]
	case consts.PluginTypeDatabase:
		n, ok := dbs[name]
		return n, ok
	}
	return func() (interface{}, error) { return f, nil }, f != nil
}

func (r registry) Contains(name string, t consts.PluginType) bool { _, ok := r.Get(name, t); return ok }

func (registry) Keys(t consts.PluginType) (keys []string) {
	switch t {
	case consts.PluginTypeSecrets:
		for k := range secrets {
			keys = append(keys, k)
		}
	case consts.PluginTypeCredential:
		for k := range creds {
			keys = append(keys, k)
		}
	case consts.PluginTypeDatabase:
		for k := range dbs {
			keys = append(keys, k)
		}
	}
	return keys
}

func (r registry) DeprecationStatus(name string, t consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, t)
}

func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func storage(spec string, l hclog.Logger) (physical.Backend, error) {
	switch {
	case strings.HasPrefix(spec, "file:"):
		return file.NewFileBackend(map[string]string{"path": spec[len("file:"):]}, l)
	case strings.HasPrefix(spec, "postgres://"):
		return postgresql.NewPostgreSQLBackend(map[string]string{"connection_url": spec, "ha_enabled": "true"}, l)
	}
	return inmem.NewInmem(nil, l)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8200", "listen address; port 0 picks one")
	store := flag.String("storage", "inmem", "inmem, file:DIR or postgres://URL (with HA)")
	certFile := flag.String("tls-cert", "", "PEM certificate chain (plain HTTP when empty)")
	keyFile := flag.String("tls-key", "", "PEM private key")
	maxTTL := flag.Duration("max-lease-ttl", time.Hour, "system maximum lease TTL")
	defTTL := flag.Duration("default-lease-ttl", 30*time.Minute, "system default lease TTL")
	ready := flag.String("ready-file", "", "written with {pid,addr} once the listener is up")
	level := flag.String("log-level", "warn", "log level")
	flag.Parse()

	l := hclog.New(&hclog.LoggerOptions{Name: "vaultd", Level: hclog.LevelFromString(*level)})
	ph, err := storage(*store, l)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	scheme := "http"
	if *certFile != "" {
		kp, err := tls.LoadX509KeyPair(*certFile, *keyFile)
		if err != nil {
			log.Fatal(err)
		}
		scheme = "https"
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{kp}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2", "http/1.1"}})
	}
	url := scheme + "://" + ln.Addr().String()
	conf := &vault.CoreConfig{
		Physical: ph, StorageType: strings.SplitN(*store, ":", 2)[0], RedirectAddr: url, Logger: l, DisableMlock: true, DefaultLeaseTTL: *defTTL, MaxLeaseTTL: *maxTTL,
		BuiltinRegistry: registry{}, LogicalBackends: map[string]logical.Factory{"kv": kv.Factory, "plugin": plugin.Factory}, CredentialBackends: map[string]logical.Factory{"plugin": plugin.Factory},
		AuditBackends: map[string]audit.Factory{"file": auditfile.Factory, "socket": auditsocket.Factory},
	}
	if ha, ok := ph.(physical.HABackend); ok && ha.HAEnabled() {
		conf.HAPhysical = ha
	}
	core, err := vault.NewCore(conf)
	if err != nil {
		log.Fatal(err)
	}
	h := vaulthttp.Handler.Handler(&vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{Address: ln.Addr().String(), MaxRequestDuration: vault.DefaultMaxRequestDuration, MaxRequestSize: vaulthttp.DefaultMaxRequestSize}})
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute}
	go func() {
		if err := srv.Serve(ln); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	if *ready != "" {
		b, _ := json.Marshal(map[string]any{"pid": os.Getpid(), "addr": url})
		if err := os.WriteFile(*ready+".tmp", b, 0o600); err != nil {
			log.Fatal(err)
		}
		if err := os.Rename(*ready+".tmp", *ready); err != nil {
			log.Fatal(err)
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	_ = core.ShutdownWait()
	_ = srv.Shutdown(context.Background())
}
