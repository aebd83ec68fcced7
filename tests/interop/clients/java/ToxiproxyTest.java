import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import eu.rekawek.toxiproxy.Proxy;
import eu.rekawek.toxiproxy.ToxiproxyClient;
import eu.rekawek.toxiproxy.model.ToxicDirection;
import eu.rekawek.toxiproxy.model.ToxicList;
import eu.rekawek.toxiproxy.model.toxic.Latency;
import eu.rekawek.toxiproxy.model.toxic.LimitData;
import eu.rekawek.toxiproxy.model.toxic.Slicer;
import java.io.IOException;
import java.net.ConnectException;
import java.net.Socket;
import java.net.SocketException;
import java.net.URI;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/**
 * What toxiproxy's client for Java can ask of dcproxy, with toxiproxy's own toxics: it is not told which of the two it talks to. It has
 * no call for /populate.
 */
class ToxiproxyTest {
  private static final URI API = URI.create(System.getenv("TOXIPROXY_URL"));
  private static final String ECHO = System.getenv("ECHO"); // answers with what it is sent
  private static final String SHOUT = System.getenv("SHOUT"); // likewise, in capitals

  private final ToxiproxyClient client = new ToxiproxyClient(API.getHost(), API.getPort());

  private Proxy create(String name) throws IOException {
    return client.createProxy(name, "127.0.0.1:0", ECHO);
  }

  private static Socket connect(String listen) throws IOException {
    Socket socket = new Socket("127.0.0.1", Integer.parseInt(listen.split(":")[1]));
    socket.setSoTimeout(10_000);
    return socket;
  }

  /** Sends a word and gives what comes back. */
  private static String ask(Socket socket, String word) throws IOException {
    socket.getOutputStream().write(word.getBytes(US_ASCII));
    return new String(socket.getInputStream().readNBytes(word.length()), US_ASCII);
  }

  private static long millisToAsk(Socket socket, String word) throws IOException {
    long began = System.nanoTime();
    assertEquals(word, ask(socket, word));
    return (System.nanoTime() - began) / 1_000_000;
  }

  /** Whether the other end has closed: its end of stream, or a reset. */
  private static boolean isClosed(Socket socket) throws IOException {
    try {
      return socket.getInputStream().read() == -1;
    } catch (SocketException reset) {
      return true;
    }
  }

  private static void assertRefused(String listen) {
    assertThrows(ConnectException.class, () -> connect(listen).close());
  }

  private static void assertError(String message, Executable call) {
    assertEquals(message, assertThrows(IOException.class, call).getMessage());
  }

  @Test
  void proxiesAreCreatedListedChangedAndDeleted() throws IOException {
    assertFalse(client.version().isEmpty());
    Proxy proxy = create("java");
    String listen = proxy.getListen();
    Socket open = connect(listen);
    assertEquals("hello", ask(open, "hello"));
    Proxy same = client.getProxy("java");
    assertEquals(List.of(listen, ECHO, true), List.of(same.getListen(), same.getUpstream(), same.isEnabled()));
    assertTrue(client.getProxies().stream().anyMatch(one -> one.getName().equals("java") && one.getListen().equals(listen)));

    proxy.disable();
    assertFalse(proxy.isEnabled());
    assertRefused(listen);
    assertTrue(isClosed(open));
    proxy.enable();
    assertEquals(listen, proxy.getListen());

    proxy.setUpstream(SHOUT);
    assertEquals("HELLO", ask(connect(listen), "hello"));
    proxy.setListen("127.0.0.1:0");
    assertNotEquals(listen, proxy.getListen());
    assertRefused(listen);
    assertEquals("HELLO", ask(connect(proxy.getListen()), "hello"));

    proxy.delete();
    assertRefused(proxy.getListen());
    assertError("[404] proxy not found", () -> client.getProxy("java"));
  }

  @Test
  void eachToxicIsAddedListedUpdatedAndRemoved() throws IOException {
    Proxy proxy = create("java-toxics");
    ToxicList toxics = proxy.toxics();
    Latency latency = null;
    for (ToxicDirection stream : ToxicDirection.values()) {
      latency = toxics.latency("latency-" + stream, stream, 5).setJitter(1);
      assertEquals(1000, toxics.bandwidth("bandwidth-" + stream, stream, 1000).getRate());
      assertEquals(10, toxics.slowClose("slow_close-" + stream, stream, 10).getDelay());
      assertEquals(60_000, toxics.timeout("timeout-" + stream, stream, 60_000).getTimeout());
      assertEquals(60_000, toxics.resetPeer("reset_peer-" + stream, stream, 60_000).getTimeout());
      Slicer slicer = toxics.slicer("slicer-" + stream, stream, 64, 10).setSizeVariation(32);
      assertEquals(List.of(64L, 32L, 10L), List.of(slicer.getAverageSize(), slicer.getSizeVariation(), slicer.getDelay()));
      toxics.limitData("limit_data-" + stream, stream, 100_000);
    }
    assertEquals(14, toxics.getAll().size());
    assertEquals(100_000, toxics.get("limit_data-UPSTREAM", LimitData.class).getBytes());
    latency.setLatency(7).setToxicity(0.5f);
    assertEquals(List.of(7L, 1L, 0.5f), List.of(latency.getLatency(), latency.getJitter(), latency.getToxicity()));
    latency.remove();
    assertEquals(13, toxics.getAll().size());
  }

  @Test
  void latencyIsMeasuredOnAConnectionThatIsOpen() throws IOException {
    Proxy proxy = create("java-latency");
    Socket socket = connect(proxy.getListen());
    ask(socket, "before");
    Latency slow = proxy.toxics().latency("slow", ToxicDirection.DOWNSTREAM, 500);
    long millis = millisToAsk(socket, "slow");
    assertTrue(millis >= 500 && millis < 2000, "expected 500 ms, took " + millis);
    slow.remove();
    assertTrue(millisToAsk(socket, "after") < 500);
  }

  @Test
  void resetEnablesProxiesAndRemovesToxics() throws IOException {
    Proxy proxy = create("java-reset");
    proxy.toxics().timeout("silence", ToxicDirection.UPSTREAM, 0);
    proxy.disable();
    client.reset();
    assertTrue(proxy.isEnabled());
    assertEquals(List.of(), proxy.toxics().getAll());
    assertEquals("hello", ask(connect(proxy.getListen()), "hello"));
  }

  @Test
  void errorsAreToxiproxys() throws IOException {
    Proxy proxy = create("java-errors");
    ToxicList toxics = proxy.toxics();
    assertError("[409] proxy already exists", () -> create("java-errors"));
    assertError("[400] missing required field: upstream", () -> client.createProxy("java-nowhere", "127.0.0.1:0", ""));
    assertError("[404] proxy not found", () -> client.getProxy("nobody"));
    toxics.latency("twice", ToxicDirection.UPSTREAM, 1);
    assertError("[409] toxic already exists", () -> toxics.latency("twice", ToxicDirection.UPSTREAM, 1));
    assertError("[404] toxic not found", () -> toxics.get("nobody"));
    Latency removed = toxics.latency("removed", ToxicDirection.UPSTREAM, 1);
    removed.remove();
    assertError("[404] toxic not found", () -> removed.setLatency(2));
  }
}
