package main

import (
	"slices"

	"k8s.io/client-go/rest"

	"github.com/sallyport-io/sallyport/internal/config"
	"github.com/sallyport-io/sallyport/internal/policysource"
)

// policySources are where policies come from: the folders of the configuration
// and of the flag, the ConfigMaps in the server's own namespace, the bundles.
func policySources(cfg *config.Config, dirs []string, cluster *rest.Config) ([]policysource.Source, error) {
	var sources []policysource.Source
	for _, dir := range slices.Concat(cfg.Policies.Directories, dirs) {
		sources = append(sources, policysource.Folder(dir))
	}
	if cfg.Policies.ConfigMaps == config.Enabled {
		own, _ := cfg.Account()
		source, err := policysource.ConfigMaps(cluster, own)
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	for _, b := range cfg.Policies.Bundles {
		v := policysource.Verification{Key: b.Key, KeyID: b.KeyID, Algorithm: b.Algorithm, Scope: b.Scope}
		if b.File != "" {
			sources = append(sources, policysource.BundleFile(b.Name, b.File, v))
			continue
		}
		sources = append(sources, policysource.BundleURL(b.Name, policysource.Remote{
			URL: b.URL, Interval: b.Every(), TokenFile: b.TokenFile, CAFile: b.CAFile, Cache: b.Cache,
		}, v))
	}
	return sources, nil
}
