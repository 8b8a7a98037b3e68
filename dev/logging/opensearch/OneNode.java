import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** One node of OpenSearch from its libraries alone, on the loopback, until it is told to end. */
final class OneNode extends Node {
    private OneNode(Settings settings) {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"),
            List.of(Netty4Plugin.class), false);
    }

    /** Directory for configuration and data, and the port of its HTTP server. */
    public static void main(String[] arguments) throws Exception {
        Settings settings = Settings.builder()
            .put("path.home", arguments[0])
            .put("http.port", arguments[1])
            .put("network.host", "127.0.0.1")
            .put("transport.port", "0")
            .put("discovery.type", "single-node")
            // A full disk of the test machine isn't an error of the chart.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        new OneNode(settings).start();
        Thread.currentThread().join();
    }
}
