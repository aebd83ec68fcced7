// docs:begin
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import eu.rekawek.toxiproxy.Proxy;
import eu.rekawek.toxiproxy.ToxiproxyClient;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;

class DcpTest {
  private static final String API = System.getenv("TOXIPROXY_URL");

  @Test
  void producerCopesWithAStreamClosedMidTransfer() throws Exception {
    URI api = URI.create(API);
    ToxiproxyClient client = new ToxiproxyClient(api.getHost(), api.getPort());
    Proxy proxy = client.createProxy("dcp", "127.0.0.1:0", System.getenv("PRODUCER"));

    // The application under test, told the proxy's port instead of the producer's.
    List<String> command = new ArrayList<>(List.of(System.getenv("APPLICATION").split(" ")));
    command.add(proxy.getListen().split(":")[1]);
    Process application = new ProcessBuilder(command).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
    try {
      until("a stream is open", () -> liveStreams(ask("GET", "/dcp/v1/proxies/dcp/connections", "")) > 0);

      // Closed in the middle of what it is receiving; then the producer is told what a consumer says whose stream is gone. The
      // client makes toxics of the types that it knows; the others are plain HTTP.
      ask("POST", "/proxies/dcp/toxics", "{\"type\": \"dcp_close_stream\"}");
      until("it is closed", () -> ask("GET", "/metrics", "").contains("dcproxy_faults_fired_total{proxy=\"dcp\""));
      JsonObject report = JsonParser.parseString(ask("POST", "/dcp/v1/proxies/dcp/verdict", "")).getAsJsonObject();
      assertEquals("pass", report.get("verdict").getAsString(), () -> wrong(report));
    } finally {
      application.destroyForcibly();
      proxy.delete();
    }
  }

  private static String ask(String method, String path, String body) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(API + path)).method(method, BodyPublishers.ofString(body)).build();
    return HttpClient.newHttpClient().send(request, BodyHandlers.ofString()).body();
  }

  private static void until(String what, Callable<Boolean> holds) throws Exception {
    for (long began = System.nanoTime(); !holds.call(); Thread.sleep(50)) {
      assertTrue(System.nanoTime() - began < 20_000_000_000L, "waited too long until " + what);
    }
  }

  private static int liveStreams(String open) {
    int live = 0;
    for (JsonElement connection : JsonParser.parseString(open).getAsJsonObject().getAsJsonArray("connections")) {
      JsonObject edges = connection.getAsJsonObject().getAsJsonObject("edges");
      live += edges.getAsJsonObject("upstream").getAsJsonObject("streams").get("live").getAsInt();
    }
    return live;
  }

  private static String wrong(JsonObject report) {
    List<String> said = new ArrayList<>();
    JsonArray judged = report.getAsJsonArray("connections").deepCopy();
    judged.add(report);
    for (JsonElement one : judged) {
      for (JsonElement element : one.getAsJsonObject().getAsJsonArray("findings")) {
        JsonObject finding = element.getAsJsonObject();
        if (!finding.get("verdict").getAsString().equals("pass")) {
          said.add(finding.toString());
        }
      }
    }
    return String.join("\n", said);
  }
}
// docs:end
