import com.couchbase.client.core.deps.io.netty.buffer.ByteBuf;
import com.couchbase.client.dcp.Client;
import com.couchbase.client.dcp.StreamFrom;
import com.couchbase.client.dcp.StreamTo;
import com.couchbase.client.dcp.config.DcpControl;
import com.couchbase.client.dcp.events.StreamEndEvent;
import com.couchbase.client.dcp.message.DcpSnapshotMarkerRequest;
import com.couchbase.client.dcp.message.DcpSystemEventRequest;
import com.couchbase.client.dcp.message.MessageUtil;
import com.couchbase.client.dcp.message.RollbackMessage;
import com.couchbase.client.dcp.message.StreamEndReason;
import com.couchbase.client.dcp.transport.netty.ChannelFlowController;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.zip.CRC32;

/**
 * Couchbase's DCP client for Java: all vbuckets from the beginning to now, with collections, flow control, NOOPs and compression. A
 * stream that ends for another reason than its end is opened again by the library itself.
 *
 * <p>Each message with a seqno is a line of EVENTS: vbucket, seqno, opcode, a hash of the message but for its opaque. What it
 * counted is a JSON object on standard output, once every stream has come to its end (exit code 0) or the time is up (1). Then it
 * stays connected until its standard input ends.
 *
 * <pre>java -cp CLASSPATH DcpPeer.java HOST:PORT BUCKET EVENTS SECONDS</pre>
 *
 * <p>The password stands in DCP_PASSWORD; the user is Administrator.
 */
public final class DcpPeer {
  private final Client client;
  private final BufferedWriter events;
  private final Map<String, Integer> counts = new TreeMap<>();
  private final Map<String, Integer> ends = new TreeMap<>();
  private final TreeSet<Integer> open = new TreeSet<>();
  private final TreeSet<Integer> cut = new TreeSet<>();
  private int resumed;
  private int received;

  private DcpPeer(Client client, BufferedWriter events) {
    this.client = client;
    this.events = events;
    client.dataEventHandler(this::onData);
    client.controlEventHandler(this::onControl);
    client.systemEventHandler(
        event -> {
          if (event instanceof StreamEndEvent) {
            onStreamEnd((StreamEndEvent) event);
          }
        });
  }

  public static void main(String[] args) throws Exception {
    System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", System.getProperty("log", "error"));
    Client client =
        Client.builder()
            .connectionString("couchbase://" + args[0])
            .credentials("Administrator", System.getenv("DCP_PASSWORD"))
            .bucket(args[1])
            .userAgent("dcproxy-interop", "1")
            .collectionsAware(true)
            .xattrs(true)
            .flowControl(64 * 1024)
            .bufferAckWatermark(50)
            .bootstrapTimeout(Duration.ofSeconds(60))
            .socketConnectTimeout(Duration.ofSeconds(60).toMillis())
            .controlParam(DcpControl.Names.SET_NOOP_INTERVAL, 1)
            .optionalControlParam("send_stream_end_on_client_close_stream", true)
            .build();
    boolean ended;
    try (BufferedWriter events = Files.newBufferedWriter(Path.of(args[2]))) {
      DcpPeer peer = new DcpPeer(client, events);
      client.connect().block();
      client.initializeState(StreamFrom.BEGINNING, StreamTo.NOW).block();
      ended = peer.stream(client.numPartitions(), TimeUnit.SECONDS.toMillis(Long.parseLong(args[3])));
      events.flush();
      System.out.println(peer.told(client.numPartitions()));
      System.in.readAllBytes();
      client.disconnect().block();
    }
    System.exit(ended ? 0 : 1);
  }

  /** Whether every stream came to its end. */
  private boolean stream(int vbuckets, long millis) throws InterruptedException {
    synchronized (this) {
      for (int vbucket = 0; vbucket < vbuckets; vbucket++) {
        open.add(vbucket);
      }
    }
    long until = System.currentTimeMillis() + millis;
    client.startStreaming().block();
    synchronized (this) {
      while (!open.isEmpty() && System.currentTimeMillis() < until) {
        wait(100);
      }
      return open.isEmpty();
    }
  }

  private void onData(ChannelFlowController flow, ByteBuf message) {
    seen(message, message.getLong(MessageUtil.HEADER_SIZE));
    flow.ack(message);
    message.release();
  }

  private void onControl(ChannelFlowController flow, ByteBuf message) {
    if (RollbackMessage.is(message)) {
      count("rollback");
      client.rollbackAndRestartStream(RollbackMessage.vbucket(message), RollbackMessage.seqno(message)).subscribe();
    } else if (DcpSystemEventRequest.is(message)) {
      seen(message, DcpSystemEventRequest.getSeqno(message));
    } else if (DcpSnapshotMarkerRequest.is(message)) {
      count("snapshot marker");
    }
    flow.ack(message);
    message.release();
  }

  private synchronized void seen(ByteBuf message, long seqno) {
    // It does something with what comes: so the transfer lasts long enough for streams to be closed in the midst of it.
    if (++received % 16 == 0) {
      LockSupport.parkNanos(1_000_000);
    }
    int vbucket = MessageUtil.getVbucket(message);
    if (cut.remove(vbucket)) {
      resumed++;
    }
    byte[] bytes = new byte[message.readableBytes()];
    message.getBytes(message.readerIndex(), bytes);
    CRC32 crc = new CRC32();
    crc.update(bytes, 0, OPAQUE);
    crc.update(bytes, OPAQUE + 4, bytes.length - OPAQUE - 4);
    count(MessageUtil.getShortOpcodeName(message));
    try {
      events.write(String.format("%d\t%d\t%02x\t%08x\t%d%n", vbucket, seqno, bytes[1], crc.getValue(), bytes.length));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** Where a header has its opaque, which is the stream's and so another for each client. */
  private static final int OPAQUE = 12;

  private synchronized void onStreamEnd(StreamEndEvent event) {
    ends.merge(event.reason().name(), 1, Integer::sum);
    if (event.reason().equals(StreamEndReason.OK)) {
      // One that was cut behind its last message went on too.
      resumed += cut.remove(event.partition()) ? 1 : 0;
      open.remove(event.partition());
      notifyAll();
    } else {
      cut.add(event.partition());
    }
  }

  private synchronized void count(String what) {
    counts.merge(what, 1, Integer::sum);
  }

  private synchronized String told(int vbuckets) {
    return String.format(
        "{\"vbuckets\": %d, \"never_ended\": %d, \"counts\": %s, \"ends\": %s, \"resumed\": %d}",
        vbuckets, open.size(), json(counts), json(ends), resumed);
  }

  private static String json(Map<String, Integer> map) {
    StringBuilder text = new StringBuilder();
    map.forEach((name, count) -> text.append(text.length() == 0 ? "" : ", ").append('"').append(name).append("\": ").append(count));
    return "{" + text + "}";
  }
}
