# openjdk: compile and run a program with many threads, sockets and files.
cd /tmp
cat > T.java <<'END'
import java.io.*; import java.net.*; import java.nio.file.*; import java.util.*; import java.util.concurrent.*; import java.util.concurrent.atomic.*; import java.util.stream.*;
public class T {
  public static void main(String[] a) throws Exception {
    ExecutorService ex = Executors.newFixedThreadPool(16); List<Future<Long>> fs = new ArrayList<>();
    for (int i = 0; i < 64; i++) { final int n = i; fs.add(ex.submit(() -> LongStream.range(0, 100000).map(x -> x % (n + 1)).sum())); }
    long s = 0; for (Future<Long> f : fs) s += f.get(); System.out.println(s); ex.shutdown();
    AtomicInteger c = new AtomicInteger(); Thread[] ts = new Thread[50]; for (int i = 0; i < 50; i++) { ts[i] = new Thread(() -> { for (int j = 0; j < 1000; j++) { c.incrementAndGet(); synchronized (T.class) { T.class.notifyAll(); } } }); ts[i].start(); } for (Thread t : ts) t.join(); System.out.println(c);
    try (ServerSocket ss = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) { Thread t = new Thread(() -> { try (Socket k = ss.accept()) { k.getOutputStream().write("socket\n".getBytes()); } catch (IOException e) { System.out.println(e); } }); t.start(); try (Socket k = new Socket(InetAddress.getLoopbackAddress(), ss.getLocalPort())) { System.out.println(new BufferedReader(new InputStreamReader(k.getInputStream())).readLine()); } t.join(); }
    Path d = Files.createTempDirectory("j"); for (int i = 0; i < 100; i++) Files.writeString(d.resolve("f" + i), "x"); try (Stream<Path> l = Files.list(d)) { System.out.println(l.count()); }
    Process p = new ProcessBuilder("sh", "-c", "echo child; exit 3").redirectErrorStream(true).start(); System.out.println(new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor());
    System.out.println(IntStream.range(0, 1000000).parallel().filter(x -> x % 7 == 0).count()); List<byte[]> l = new ArrayList<>(); for (int i = 0; i < 2000; i++) { l.add(new byte[50000]); if (l.size() > 50) l.clear(); } System.gc();
    System.out.println(Runtime.getRuntime().availableProcessors() > 0); System.out.println(System.getProperty("user.name") + " " + System.getProperty("os.name")); ConcurrentHashMap<Integer, Integer> m = new ConcurrentHashMap<>(); IntStream.range(0, 100000).parallel().forEach(i -> m.merge(i % 100, 1, Integer::sum)); System.out.println(m.get(5)); try { Files.readString(Path.of("/etc/shadow")); System.out.println("read"); } catch (AccessDeniedException e) { System.out.println("denied"); } System.exit(6);
  }
}
END
javac T.java; echo "javac $?"; java -Xmx256m T; echo "exit $?"
java -XX:+UseG1GC -Xmx128m -version 2>&1 | grep -c openjdk; java -XX:+UseSerialGC -cp . T | head -1
